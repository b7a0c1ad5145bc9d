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
exports.CustomersController = void 0;
const common_1 = require("@nestjs/common");
const customer_sync_1 = require("@wanzobe/customer-sync");
const axios_1 = __importDefault(require("axios"));
// SITUATION: class-validator 0.13 for these decorators, while the hoisted @nestjs/common loads the root's 0.14 to check
// them: a copy that this service's declared dependencies do not lead to.
const class_validator_1 = require("class-validator");
const kafkajs_1 = require("kafkajs");
const uuid_1 = require("uuid");
class CustomerInput {
}
__decorate([
    (0, class_validator_1.IsNotEmpty)(),
    __metadata("design:type", String)
], CustomerInput.prototype, "name", void 0);
__decorate([
    (0, class_validator_1.IsEmail)(),
    __metadata("design:type", String)
], CustomerInput.prototype, "email", void 0);
let CustomersController = class CustomersController {
    constructor() {
        this.customers = [];
        this.sync = new customer_sync_1.CustomerSync('customer-service');
    }
    all() {
        return this.customers;
    }
    versions() {
        return { axios: axios_1.default.VERSION, compression: kafkajs_1.CompressionTypes };
    }
    create(input) {
        const customer = { id: (0, uuid_1.v7)(), name: input.name, email: input.email };
        this.customers.push(customer);
        this.sync.announce(customer).catch((error) => console.error(`not announced: ${error.message}`));
        return customer;
    }
};
exports.CustomersController = CustomersController;
__decorate([
    (0, common_1.Get)(),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", []),
    __metadata("design:returntype", Array)
], CustomersController.prototype, "all", null);
__decorate([
    (0, common_1.Get)('versions'),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", []),
    __metadata("design:returntype", Object)
], CustomersController.prototype, "versions", null);
__decorate([
    (0, common_1.Post)(),
    __param(0, (0, common_1.Body)()),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", [CustomerInput]),
    __metadata("design:returntype", Object)
], CustomersController.prototype, "create", null);
exports.CustomersController = CustomersController = __decorate([
    (0, common_1.Controller)('customers')
], CustomersController);
