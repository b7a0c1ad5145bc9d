import { Body, Controller, Post } from '@nestjs/common';
import { Currency, Money } from '@wanzobe/types';
import { Type } from 'class-transformer';
import { IsArray, IsInt, IsNumberString, Min, ValidateNested } from 'class-validator';
import { v4 as uuid } from 'uuid';
import { total } from './invoice';
import { log } from './log';
import { invoices } from './metrics.controller';

class LineInput {
  @IsInt()
  @Min(1)
  quantity: number;

  @IsNumberString()
  price: string;
}

class InvoiceInput {
  @IsArray()
  @ValidateNested({ each: true })
  @Type(() => LineInput)
  lines: LineInput[];
}

@Controller('invoices')
export class InvoicesController {
  @Post()
  create(@Body() input: InvoiceInput): Money & { id: string } {
    const invoice = { id: uuid(), amount: total(input.lines), currency: Currency.CDF };
    log.info('invoice', invoice);
    invoices.inc();
    return invoice;
  }
}
