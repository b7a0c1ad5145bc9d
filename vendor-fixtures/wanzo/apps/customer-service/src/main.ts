import 'reflect-metadata';
import { Module, ValidationPipe } from '@nestjs/common';
// SITUATION: shared sources by relative path, file by file: they are compiled into dist/packages/shared and run from
// there, while the linked package (declared in package.json) lies unused. What the copies import (prom-client) is
// declared by the package, not by this service.
import { HealthModule } from '../../../packages/shared/src/health';
import { MetricsModule } from '../../../packages/shared/src/metrics';
import { startService } from '../../../packages/shared/src/start';
import { CustomersController } from './customers.controller';

@Module({
  imports: [HealthModule.of('customer-service'), MetricsModule],
  controllers: [CustomersController],
})
class AppModule {}

void startService(AppModule, 3011, (app) => app.useGlobalPipes(new ValidationPipe({ transform: true })));
