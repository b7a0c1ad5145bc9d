import { Body, Controller, Get, Post } from '@nestjs/common';
import { CustomerSync } from '@wanzobe/customer-sync';
import { Customer } from '@wanzobe/types';
import axios from 'axios';
// SITUATION: class-validator 0.13 for these decorators, while the hoisted @nestjs/common loads the root's 0.14 to check
// them: a copy that this service's declared dependencies do not lead to.
import { IsEmail, IsNotEmpty } from 'class-validator';
import { CompressionTypes } from 'kafkajs';
import { v7 as uuid } from 'uuid';

class CustomerInput {
  @IsNotEmpty()
  name: string;

  @IsEmail()
  email: string;
}

@Controller('customers')
export class CustomersController {
  private readonly customers: Customer[] = [];
  private readonly sync = new CustomerSync('customer-service');

  @Get()
  all(): Customer[] {
    return this.customers;
  }

  @Get('versions')
  versions(): Record<string, unknown> {
    return { axios: axios.VERSION, compression: CompressionTypes };
  }

  @Post()
  create(@Body() input: CustomerInput): Customer {
    const customer = { id: uuid(), name: input.name, email: input.email };
    this.customers.push(customer);
    this.sync.announce(customer).catch((error: Error) => console.error(`not announced: ${error.message}`));
    return customer;
  }
}
