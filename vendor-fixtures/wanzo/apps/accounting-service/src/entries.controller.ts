import { Body, Controller, Get, Param, Post } from '@nestjs/common';
import { Money } from '@wanzobe/types';
import { IsNumberString } from 'class-validator';
import { Ledger } from './ledger';

class Posting {
  @IsNumberString()
  amount: string;
}

@Controller('accounts')
export class EntriesController {
  constructor(private readonly ledger: Ledger) {}

  @Get(':account/balance')
  balance(@Param('account') account: string): Promise<Money> {
    return this.ledger.balance(account);
  }

  @Post(':account/entries')
  post(@Param('account') account: string, @Body() posting: Posting): Promise<{ id: string }> {
    return this.ledger.post(account, posting.amount);
  }
}
