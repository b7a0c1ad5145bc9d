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
exports.EntriesController = void 0;
const common_1 = require("@nestjs/common");
const class_validator_1 = require("class-validator");
const ledger_1 = require("./ledger");
class Posting {
}
__decorate([
    (0, class_validator_1.IsNumberString)(),
    __metadata("design:type", String)
], Posting.prototype, "amount", void 0);
let EntriesController = class EntriesController {
    constructor(ledger) {
        this.ledger = ledger;
    }
    balance(account) {
        return this.ledger.balance(account);
    }
    post(account, posting) {
        return this.ledger.post(account, posting.amount);
    }
};
exports.EntriesController = EntriesController;
__decorate([
    (0, common_1.Get)(':account/balance'),
    __param(0, (0, common_1.Param)('account')),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", [String]),
    __metadata("design:returntype", Promise)
], EntriesController.prototype, "balance", null);
__decorate([
    (0, common_1.Post)(':account/entries'),
    __param(0, (0, common_1.Param)('account')),
    __param(1, (0, common_1.Body)()),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", [String, Posting]),
    __metadata("design:returntype", Promise)
], EntriesController.prototype, "post", null);
exports.EntriesController = EntriesController = __decorate([
    (0, common_1.Controller)('accounts'),
    __metadata("design:paramtypes", [ledger_1.Ledger])
], EntriesController);
