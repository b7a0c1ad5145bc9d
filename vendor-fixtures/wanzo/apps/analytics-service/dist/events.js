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
Object.defineProperty(exports, "__esModule", { value: true });
exports.Events = void 0;
const common_1 = require("@nestjs/common");
const schedule_1 = require("@nestjs/schedule");
const lodash_1 = require("lodash");
const uuid_1 = require("uuid");
let Events = class Events {
    constructor() {
        this.events = [];
    }
    record(kind) {
        const event = { id: (0, uuid_1.v4)(), kind };
        this.events.push(event);
        return event;
    }
    summary() {
        return (0, lodash_1.countBy)(this.events, 'kind');
    }
    forget() {
        this.events = (0, lodash_1.takeRight)(this.events, 1000);
    }
};
exports.Events = Events;
__decorate([
    (0, schedule_1.Cron)(schedule_1.CronExpression.EVERY_HOUR),
    __metadata("design:type", Function),
    __metadata("design:paramtypes", []),
    __metadata("design:returntype", void 0)
], Events.prototype, "forget", null);
exports.Events = Events = __decorate([
    (0, common_1.Injectable)()
], Events);
