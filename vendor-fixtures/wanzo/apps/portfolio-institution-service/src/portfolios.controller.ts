import { BadGatewayException, Body, Controller, Get, Post } from '@nestjs/common';
import { Currency } from '@wanzobe/types';
import axios from 'axios';
import { v4 as uuid } from 'uuid';
import { Database } from './database';
// Types only: these imports leave no trace in the compiled file.
import type { Institution } from './institution/institution.entity';
import type { Portfolio } from './portfolio/portfolio.entity';

@Controller('portfolios')
export class PortfoliosController {
  constructor(private readonly database: Database) {}

  @Get('entities')
  entities(): string[] {
    return this.database.entityMetadatas.map((entity) => entity.name).sort();
  }

  @Get('rate')
  async rate(): Promise<unknown> {
    const url = process.env.RATES_URL ?? 'http://rates:8080';
    const answer = await axios.get(`${url}/${Currency.USD}`, { timeout: 2000 }).catch(() => {
      throw new BadGatewayException('the rates do not answer');
    });
    return answer.data;
  }

  @Get()
  async all(): Promise<Portfolio[]> {
    return (await this.database.connected()).getRepository<Portfolio>('Portfolio').find();
  }

  @Post('institutions')
  async institution(@Body() body: { name: string }): Promise<Institution> {
    const database = await this.database.connected();
    return database.getRepository<Institution>('Institution').save({ id: uuid(), name: body.name });
  }
}
