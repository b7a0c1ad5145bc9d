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
const auth_controller_1 = require("./auth.controller");
const page_1 = require("./page");
const passwords_1 = require("./passwords");
let AppModule = class AppModule {
};
AppModule = __decorate([
    (0, common_1.Module)({
        imports: [shared_1.HealthModule.of('admin-service'), shared_1.MetricsModule],
        controllers: [auth_controller_1.AuthController],
        providers: [passwords_1.Passwords],
    })
], AppModule);
void (0, shared_1.startService)(AppModule, 3001, (app) => {
    app.use('/console', page_1.page);
    app.useGlobalPipes(new common_1.ValidationPipe({ transform: true, whitelist: true }));
});
