import { Controller, Get, Header, MiddlewareConsumer, Module, NestMiddleware, NestModule } from '@nestjs/common';
import { Counter, Registry, collectDefaultMetrics } from 'prom-client';

export const registry = new Registry();
collectDefaultMetrics({ register: registry });
const requests = new Counter({ name: 'http_requests_total', help: 'Requests received', registers: [registry] });

@Controller('metrics')
export class MetricsController {
  @Get()
  @Header('content-type', registry.contentType)
  metrics(): Promise<string> {
    return registry.metrics();
  }
}

export class CountRequests implements NestMiddleware {
  use(_request: unknown, _response: unknown, next: () => void): void {
    requests.inc();
    next();
  }
}

@Module({ controllers: [MetricsController] })
export class MetricsModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(CountRequests).forRoutes('*');
  }
}
