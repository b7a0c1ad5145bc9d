import { Money, Currency } from '@wanzobe/types';
import Decimal from 'decimal.js';

export function balance(amounts: string[]): Money {
  const sum = amounts.reduce((total, amount) => total.plus(amount), new Decimal(0));
  return { amount: sum.toFixed(2), currency: Currency.CDF };
}
