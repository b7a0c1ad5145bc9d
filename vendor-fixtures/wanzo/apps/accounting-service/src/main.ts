import 'reflect-metadata';
import { Module, ValidationPipe } from '@nestjs/common';
import { ClientsModule, Transport } from '@nestjs/microservices';
import { TypeOrmModule } from '@nestjs/typeorm';
import { HealthModule, MetricsModule, startService } from '@wanzobe/shared';
import { Entry } from './entry.entity';
import { EntriesController } from './entries.controller';
import { Ledger } from './ledger';

const brokers = (process.env.KAFKA_BROKERS ?? 'kafka:9092').split(',');

@Module({
  imports: [
    HealthModule.of('accounting-service'),
    MetricsModule,
    // SITUATION: pg is an optional peer of typeorm, loaded by the name of the driver; this service declares it.
    TypeOrmModule.forRoot({
      type: 'postgres',
      url: process.env.DATABASE_URL ?? 'postgres://wanzo@postgres:5432/accounting',
      autoLoadEntities: true,
      manualInitialization: true,
    }),
    TypeOrmModule.forFeature([Entry]),
    // SITUATION: making this client loads kafkajs, an optional peer of @nestjs/microservices that this service does not
    // declare. It connects when the first entry is posted.
    ClientsModule.register([
      {
        name: 'BROKER',
        transport: Transport.KAFKA,
        options: { client: { clientId: 'accounting', brokers } },
      },
    ]),
  ],
  controllers: [EntriesController],
  providers: [Ledger],
})
class AppModule {}

// SITUATION: 3001 inside the container, as admin-service has; compose publishes it as 3003.
void startService(AppModule, 3001, (app) => app.useGlobalPipes(new ValidationPipe({ transform: true })));
