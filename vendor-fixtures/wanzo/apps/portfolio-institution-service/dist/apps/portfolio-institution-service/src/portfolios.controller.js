"use strict";
var __decorate = (this && this.__decorate) || function (decorators, target, key, desc) {
    var c = arguments.length, r = c < 3 ? target : desc === null ? desc = Object.getOwnPropertyDescriptor(target, key) : desc, d;
    if (typeof Reflect === "object" && typeof Reflect.decorate === "function") r = Reflect.decorate(decorators, target, key, desc);
    else for (var i = decorators.length - 1; i >= 0; i--) if (d = decorators[i]) r = (c < 3 ? d(r) : c > 3 ? d(target, key, r) : d(target, key)) || r;
    return c > 3 && r && Object.defineProperty(target, key, r), r;
};
var __metadata = (this && this.__metadata) || function (k, v) {
    if (typeof Reflect === "object" && typeof Reflect.metadata === "function") return Reflect.metadata(k, v);
};
var __param = (this && this.__param) || function (paramIndex, decorator) {
    return function (target, key) { decorator(target, key, paramIndex); }
};
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.PortfoliosController = void 0;
const common_1 = require("@nestjs/common");
const types_1 = require("@wanzobe/types");
const axios_1 = __importDefault(require("axios"));
const uuid_1 = require("uuid");
const database_1 = require("./database");
let PortfoliosController = class PortfoliosController {
    constructor(database) {
        this.database = database;
    }
    entities() {
        return this.database.entityMetadatas.map((entity) => entity.name).sort();
    }
    async rate() {
        const url = process.env.RATES_URL ?? 'http://rates:8080';
        const answer = await axios_1.default.get(`${url}/${types_1.Currency.USD}`, { timeout: 2000 }).catch(() => {
            throw new common_1.BadGatewayException('the rates do not answer');
        });
        return answer.data;
    }
    async all() {
        return (await this.database.connected()).getRepository('Portfolio').find();
    }
    async institution(body) {
        const database = await this.database.connected();
        return database.getRepository('Institution').save({ id: (0, uuid_1.v4)(), name: body.name });
    }
};
exports.PortfoliosController = PortfoliosController;
__decorate([
    (0, common_1.Get)('entities'),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", []),
    __metadata("design:returntype", Array)
], PortfoliosController.prototype, "entities", null);
__decorate([
    (0, common_1.Get)('rate'),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", []),
    __metadata("design:returntype", Promise)
], PortfoliosController.prototype, "rate", null);
__decorate([
    (0, common_1.Get)(),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", []),
    __metadata("design:returntype", Promise)
], PortfoliosController.prototype, "all", null);
__decorate([
    (0, common_1.Post)('institutions'),
    __param(0, (0, common_1.Body)()),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", [Object]),
    __metadata("design:returntype", Promise)
], PortfoliosController.prototype, "institution", null);
exports.PortfoliosController = PortfoliosController = __decorate([
    (0, common_1.Controller)('portfolios'),
    __metadata("design:paramtypes", [database_1.Database])
], PortfoliosController);
