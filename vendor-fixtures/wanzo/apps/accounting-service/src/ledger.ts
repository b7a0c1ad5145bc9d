import { Inject, Injectable, ServiceUnavailableException } from '@nestjs/common';
import { ClientKafka } from '@nestjs/microservices';
import { InjectRepository } from '@nestjs/typeorm';
import { Money, Topic } from '@wanzobe/types';
import { DataSource, Repository } from 'typeorm';
import { v4 as uuid } from 'uuid';
import { balance } from './balance';
import { Entry } from './entry.entity';

@Injectable()
export class Ledger {
  constructor(
    private readonly database: DataSource,
    @InjectRepository(Entry) private readonly entries: Repository<Entry>,
    @Inject('BROKER') private readonly broker: ClientKafka,
  ) {}

  async post(account: string, amount: string): Promise<Entry> {
    await this.connect();
    const entry = await this.entries.save({ id: uuid(), account, amount });
    this.broker.emit(Topic.EntryPosted, entry).subscribe({ error: (error) => console.error(error) });
    return entry;
  }

  async balance(account: string): Promise<Money> {
    await this.connect();
    return balance((await this.entries.findBy({ account })).map((entry) => entry.amount));
  }

  private async connect(): Promise<void> {
    if (this.database.isInitialized) return;
    await this.database.initialize().catch(() => {
      throw new ServiceUnavailableException('the database does not answer');
    });
  }
}
