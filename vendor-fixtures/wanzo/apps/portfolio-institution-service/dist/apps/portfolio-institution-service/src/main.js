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
const database_1 = require("./database");
const portfolios_controller_1 = require("./portfolios.controller");
let AppModule = class AppModule {
};
AppModule = __decorate([
    (0, common_1.Module)({
        imports: [shared_1.HealthModule.of('portfolio-institution-service'), shared_1.MetricsModule],
        controllers: [portfolios_controller_1.PortfoliosController],
        providers: [database_1.Database],
    })
], AppModule);
void (0, shared_1.startService)(AppModule, 3005);
