import { Controller, DynamicModule, Get, Inject, Module } from '@nestjs/common';
import { Health } from '@wanzobe/types';

const SERVICE_NAME = 'SERVICE_NAME';

@Controller('health')
export class HealthController {
  constructor(@Inject(SERVICE_NAME) private readonly service: string) {}

  // Says only that the process serves; no database and no broker is asked.
  @Get()
  health(): Health {
    return { status: 'ok', service: this.service };
  }
}

@Module({})
export class HealthModule {
  static of(service: string): DynamicModule {
    return {
      module: HealthModule,
      controllers: [HealthController],
      providers: [{ provide: SERVICE_NAME, useValue: service }],
    };
  }
}
