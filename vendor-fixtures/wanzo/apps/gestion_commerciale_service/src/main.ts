import 'reflect-metadata';
import { Module, ValidationPipe } from '@nestjs/common';
import { HealthModule, startService } from '@wanzobe/shared';
import { InvoicesController } from './invoices.controller';
import { MetricsController } from './metrics.controller';
import { log } from './log';

@Module({
  imports: [HealthModule.of('gestion_commerciale_service')],
  controllers: [InvoicesController, MetricsController],
})
class AppModule {}

log.info('starting');
void startService(AppModule, 3006, (app) => app.useGlobalPipes(new ValidationPipe({ transform: true })));
