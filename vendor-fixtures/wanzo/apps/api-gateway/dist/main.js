"use strict";
var __decorate = (this && this.__decorate) || function (decorators, target, key, desc) {
    var c = arguments.length, r = c < 3 ? target : desc === null ? desc = Object.getOwnPropertyDescriptor(target, key) : desc, d;
    if (typeof Reflect === "object" && typeof Reflect.decorate === "function") r = Reflect.decorate(decorators, target, key, desc);
    else for (var i = decorators.length - 1; i >= 0; i--) if (d = decorators[i]) r = (c < 3 ? d(r) : c > 3 ? d(target, key, r) : d(target, key)) || r;
    return c > 3 && r && Object.defineProperty(target, key, r), r;
};
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
require("reflect-metadata");
const common_1 = require("@nestjs/common");
const shared_1 = require("@wanzobe/shared");
const express_1 = __importDefault(require("express"));
const helmet_1 = __importDefault(require("helmet"));
const proxy_controller_1 = require("./proxy.controller");
let AppModule = class AppModule {
};
AppModule = __decorate([
    (0, common_1.Module)({ imports: [shared_1.HealthModule.of('api-gateway'), shared_1.MetricsModule], controllers: [proxy_controller_1.ProxyController] })
], AppModule);
// SITUATION: the only main.js, index.js or server.js under dist, and nothing in package.json names it.
void (0, shared_1.startService)(AppModule, 8000, (app) => {
    app.use((0, helmet_1.default)(), express_1.default.json({ limit: '1mb' }));
    app.useGlobalPipes(new common_1.ValidationPipe({ transform: true }));
});
