// SITUATION: decimal.js is not declared by this service. accounting-service declares it, and yarn puts it at the root.
import Decimal from 'decimal.js';

export interface Line {
  quantity: number;
  price: string;
}

export function total(lines: Line[], taxRate = '0.16'): string {
  const net = lines.reduce((sum, line) => sum.plus(new Decimal(line.price).times(line.quantity)), new Decimal(0));
  return net.times(new Decimal(1).plus(taxRate)).toFixed(2);
}
