import { Controller, Get, Header } from '@nestjs/common';
// SITUATION: prom-client 14 here, 15 for the shared package at the root: two registries in one process.
import { Counter, Registry, collectDefaultMetrics } from 'prom-client';

const registry = new Registry();
collectDefaultMetrics({ register: registry });
export const invoices = new Counter({ name: 'invoices_total', help: 'Invoices made', registers: [registry] });

@Controller('metrics')
export class MetricsController {
  @Get()
  @Header('content-type', registry.contentType)
  metrics(): Promise<string> {
    return registry.metrics();
  }
}
