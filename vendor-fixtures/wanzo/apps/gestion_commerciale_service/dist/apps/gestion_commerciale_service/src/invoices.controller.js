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
Object.defineProperty(exports, "__esModule", { value: true });
exports.InvoicesController = void 0;
const common_1 = require("@nestjs/common");
const types_1 = require("@wanzobe/types");
const class_transformer_1 = require("class-transformer");
const class_validator_1 = require("class-validator");
const uuid_1 = require("uuid");
const invoice_1 = require("./invoice");
const log_1 = require("./log");
const metrics_controller_1 = require("./metrics.controller");
class LineInput {
}
__decorate([
    (0, class_validator_1.IsInt)(),
    (0, class_validator_1.Min)(1),
    __metadata("design:type", Number)
], LineInput.prototype, "quantity", void 0);
__decorate([
    (0, class_validator_1.IsNumberString)(),
    __metadata("design:type", String)
], LineInput.prototype, "price", void 0);
class InvoiceInput {
}
__decorate([
    (0, class_validator_1.IsArray)(),
    (0, class_validator_1.ValidateNested)({ each: true }),
    (0, class_transformer_1.Type)(() => LineInput),
    __metadata("design:type", Array)
], InvoiceInput.prototype, "lines", void 0);
let InvoicesController = class InvoicesController {
    create(input) {
        const invoice = { id: (0, uuid_1.v4)(), amount: (0, invoice_1.total)(input.lines), currency: types_1.Currency.CDF };
        log_1.log.info('invoice', invoice);
        metrics_controller_1.invoices.inc();
        return invoice;
    }
};
exports.InvoicesController = InvoicesController;
__decorate([
    (0, common_1.Post)(),
    __param(0, (0, common_1.Body)()),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", [InvoiceInput]),
    __metadata("design:returntype", Object)
], InvoicesController.prototype, "create", null);
exports.InvoicesController = InvoicesController = __decorate([
    (0, common_1.Controller)('invoices')
], InvoicesController);
