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
// SITUATION: shared sources by relative path, file by file: they are compiled into dist/packages/shared and run from
// there, while the linked package (declared in package.json) lies unused. What the copies import (prom-client) is
// declared by the package, not by this service.
const health_1 = require("../../../packages/shared/src/health");
const metrics_1 = require("../../../packages/shared/src/metrics");
const start_1 = require("../../../packages/shared/src/start");
const customers_controller_1 = require("./customers.controller");
let AppModule = class AppModule {
};
AppModule = __decorate([
    (0, common_1.Module)({
        imports: [health_1.HealthModule.of('customer-service'), metrics_1.MetricsModule],
        controllers: [customers_controller_1.CustomersController],
    })
], AppModule);
void (0, start_1.startService)(AppModule, 3011, (app) => app.useGlobalPipes(new common_1.ValidationPipe({ transform: true })));
