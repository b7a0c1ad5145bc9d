import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('institutions')
export class Institution {
  @PrimaryColumn('uuid')
  id: string;

  @Column()
  name: string;
}
