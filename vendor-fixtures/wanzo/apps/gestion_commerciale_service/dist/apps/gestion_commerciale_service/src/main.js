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
const shared_1 = require("@wanzobe/shared");
const invoices_controller_1 = require("./invoices.controller");
const metrics_controller_1 = require("./metrics.controller");
const log_1 = require("./log");
let AppModule = class AppModule {
};
AppModule = __decorate([
    (0, common_1.Module)({
        imports: [shared_1.HealthModule.of('gestion_commerciale_service')],
        controllers: [invoices_controller_1.InvoicesController, metrics_controller_1.MetricsController],
    })
], AppModule);
log_1.log.info('starting');
void (0, shared_1.startService)(AppModule, 3006, (app) => app.useGlobalPipes(new common_1.ValidationPipe({ transform: true })));
