import 'reflect-metadata';
import { Module, ValidationPipe } from '@nestjs/common';
import { HealthModule, MetricsModule, startService } from '@wanzobe/shared';
import express from 'express';
import helmet from 'helmet';
import { ProxyController } from './proxy.controller';

@Module({ imports: [HealthModule.of('api-gateway'), MetricsModule], controllers: [ProxyController] })
class AppModule {}

// SITUATION: the only main.js, index.js or server.js under dist, and nothing in package.json names it.
void startService(AppModule, 8000, (app) => {
  app.use(helmet(), express.json({ limit: '1mb' }));
  app.useGlobalPipes(new ValidationPipe({ transform: true }));
});
