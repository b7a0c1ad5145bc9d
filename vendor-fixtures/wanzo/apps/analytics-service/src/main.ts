import 'reflect-metadata';
import { Module, ValidationPipe } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { HealthModule, MetricsModule, startService } from '@wanzobe/shared';
import { EventsController } from './events.controller';
import { Events } from './events';

@Module({
  imports: [HealthModule.of('analytics-service'), MetricsModule, ScheduleModule.forRoot()],
  controllers: [EventsController],
  providers: [Events],
})
class AppModule {}

void startService(AppModule, 3002, (app) => {
  // SITUATION: the pipe loads class-validator and class-transformer, optional peers of @nestjs/common that this service
  // does not declare. Without them the process exits here.
  app.useGlobalPipes(new ValidationPipe({ transform: true }));
});
