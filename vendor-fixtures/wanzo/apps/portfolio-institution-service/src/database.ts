import { Injectable, OnModuleInit, ServiceUnavailableException } from '@nestjs/common';
import { join } from 'node:path';
import { DataSource } from 'typeorm';

@Injectable()
export class Database extends DataSource implements OnModuleInit {
  constructor() {
    super({
      type: 'postgres',
      url: process.env.DATABASE_URL ?? 'postgres://wanzo@postgres:5432/portfolio',
      // SITUATION: no import leads to the entities; they are found by this pattern, in whatever lies beside this file.
      entities: [join(__dirname, '**', '*.entity.js')],
    });
  }

  // Reads the entity files at start; the database itself is first spoken to on a request.
  async onModuleInit(): Promise<void> {
    await this.buildMetadatas();
    if (this.entityMetadatas.length !== 2) {
      throw new Error(`expected 2 entities beside the service, found ${this.entityMetadatas.length}`);
    }
  }

  async connected(): Promise<this> {
    if (this.isInitialized) return this;
    await this.initialize().catch(() => {
      throw new ServiceUnavailableException('the database does not answer');
    });
    return this;
  }
}
