"use strict";
var __decorate = (this && this.__decorate) || function (decorators, target, key, desc) {
    var c = arguments.length, r = c < 3 ? target : desc === null ? desc = Object.getOwnPropertyDescriptor(target, key) : desc, d;
    if (typeof Reflect === "object" && typeof Reflect.decorate === "function") r = Reflect.decorate(decorators, target, key, desc);
    else for (var i = decorators.length - 1; i >= 0; i--) if (d = decorators[i]) r = (c < 3 ? d(r) : c > 3 ? d(target, key, r) : d(target, key)) || r;
    return c > 3 && r && Object.defineProperty(target, key, r), r;
};
Object.defineProperty(exports, "__esModule", { value: true });
require("reflect-metadata");
const common_1 = require("@nestjs/common");
const microservices_1 = require("@nestjs/microservices");
const typeorm_1 = require("@nestjs/typeorm");
const shared_1 = require("@wanzobe/shared");
const entry_entity_1 = require("./entry.entity");
const entries_controller_1 = require("./entries.controller");
const ledger_1 = require("./ledger");
const brokers = (process.env.KAFKA_BROKERS ?? 'kafka:9092').split(',');
let AppModule = class AppModule {
};
AppModule = __decorate([
    (0, common_1.Module)({
        imports: [
            shared_1.HealthModule.of('accounting-service'),
            shared_1.MetricsModule,
            // SITUATION: pg is an optional peer of typeorm, loaded by the name of the driver; this service declares it.
            typeorm_1.TypeOrmModule.forRoot({
                type: 'postgres',
                url: process.env.DATABASE_URL ?? 'postgres://wanzo@postgres:5432/accounting',
                autoLoadEntities: true,
                manualInitialization: true,
            }),
            typeorm_1.TypeOrmModule.forFeature([entry_entity_1.Entry]),
            // SITUATION: making this client loads kafkajs, an optional peer of @nestjs/microservices that this service does not
            // declare. It connects when the first entry is posted.
            microservices_1.ClientsModule.register([
                {
                    name: 'BROKER',
                    transport: microservices_1.Transport.KAFKA,
                    options: { client: { clientId: 'accounting', brokers } },
                },
            ]),
        ],
        controllers: [entries_controller_1.EntriesController],
        providers: [ledger_1.Ledger],
    })
], AppModule);
// SITUATION: 3001 inside the container, as admin-service has; compose publishes it as 3003.
void (0, shared_1.startService)(AppModule, 3001, (app) => app.useGlobalPipes(new common_1.ValidationPipe({ transform: true })));
