import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { HealthModule, MetricsModule, startService } from '@wanzobe/shared';
import { Database } from './database';
import { PortfoliosController } from './portfolios.controller';

@Module({
  imports: [HealthModule.of('portfolio-institution-service'), MetricsModule],
  controllers: [PortfoliosController],
  providers: [Database],
})
class AppModule {}

void startService(AppModule, 3005);
