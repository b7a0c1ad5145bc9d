import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('portfolios')
export class Portfolio {
  @PrimaryColumn('uuid')
  id: string;

  @Column('uuid')
  institution: string;

  @Column('numeric', { precision: 18, scale: 2 })
  limit: string;
}
