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
const schedule_1 = require("@nestjs/schedule");
const shared_1 = require("@wanzobe/shared");
const events_controller_1 = require("./events.controller");
const events_1 = require("./events");
let AppModule = class AppModule {
};
AppModule = __decorate([
    (0, common_1.Module)({
        imports: [shared_1.HealthModule.of('analytics-service'), shared_1.MetricsModule, schedule_1.ScheduleModule.forRoot()],
        controllers: [events_controller_1.EventsController],
        providers: [events_1.Events],
    })
], AppModule);
void (0, shared_1.startService)(AppModule, 3002, (app) => {
    // SITUATION: the pipe loads class-validator and class-transformer, optional peers of @nestjs/common that this service
    // does not declare. Without them the process exits here.
    app.useGlobalPipes(new common_1.ValidationPipe({ transform: true }));
});
