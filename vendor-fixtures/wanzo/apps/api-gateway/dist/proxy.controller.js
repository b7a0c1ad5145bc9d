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
exports.ProxyController = void 0;
const common_1 = require("@nestjs/common");
const shared_1 = require("@wanzobe/shared");
// SITUATION: axios 0.27 here, 1.x in the other services: this one lies in apps/api-gateway/node_modules.
const axios_1 = __importDefault(require("axios"));
const class_validator_1 = require("class-validator");
const prom_client_1 = require("prom-client");
const uuid_1 = require("uuid");
const upstreams_1 = require("./upstreams");
const failures = new prom_client_1.Counter({
    name: 'upstream_failures_total',
    help: 'Upstreams that did not answer',
    registers: [shared_1.registry],
});
class Upstream {
}
__decorate([
    (0, class_validator_1.IsString)(),
    (0, class_validator_1.IsIn)(Object.keys(upstreams_1.upstreams)),
    __metadata("design:type", String)
], Upstream.prototype, "service", void 0);
let ProxyController = class ProxyController {
    versions() {
        return { axios: axios_1.default.VERSION, services: Object.keys(upstreams_1.upstreams) };
    }
    async health({ service }) {
        const url = upstreams_1.upstreams[service];
        if (!url)
            throw new common_1.NotFoundException(service);
        try {
            const answer = await axios_1.default.get(`${url}/health`, { timeout: 2000, headers: { 'x-request-id': (0, uuid_1.v4)() } });
            return answer.data;
        }
        catch {
            failures.inc();
            throw new common_1.BadGatewayException(`${service} does not answer`);
        }
    }
};
exports.ProxyController = ProxyController;
__decorate([
    (0, common_1.Get)('versions'),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", []),
    __metadata("design:returntype", Object)
], ProxyController.prototype, "versions", null);
__decorate([
    (0, common_1.Get)(':service/health'),
    __param(0, (0, common_1.Param)()),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", [Upstream]),
    __metadata("design:returntype", Promise)
], ProxyController.prototype, "health", null);
exports.ProxyController = ProxyController = __decorate([
    (0, common_1.Controller)('api')
], ProxyController);
