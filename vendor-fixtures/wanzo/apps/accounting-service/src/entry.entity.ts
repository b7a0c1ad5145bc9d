import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('entries')
export class Entry {
  @PrimaryColumn('uuid')
  id: string;

  @Column()
  account: string;

  @Column('numeric', { precision: 18, scale: 2 })
  amount: string;
}
