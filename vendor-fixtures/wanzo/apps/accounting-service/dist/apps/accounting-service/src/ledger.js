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
exports.Ledger = void 0;
const common_1 = require("@nestjs/common");
const microservices_1 = require("@nestjs/microservices");
const typeorm_1 = require("@nestjs/typeorm");
const types_1 = require("@wanzobe/types");
const typeorm_2 = require("typeorm");
const uuid_1 = require("uuid");
const balance_1 = require("./balance");
const entry_entity_1 = require("./entry.entity");
let Ledger = class Ledger {
    constructor(database, entries, broker) {
        this.database = database;
        this.entries = entries;
        this.broker = broker;
    }
    async post(account, amount) {
        await this.connect();
        const entry = await this.entries.save({ id: (0, uuid_1.v4)(), account, amount });
        this.broker.emit(types_1.Topic.EntryPosted, entry).subscribe({ error: (error) => console.error(error) });
        return entry;
    }
    async balance(account) {
        await this.connect();
        return (0, balance_1.balance)((await this.entries.findBy({ account })).map((entry) => entry.amount));
    }
    async connect() {
        if (this.database.isInitialized)
            return;
        await this.database.initialize().catch(() => {
            throw new common_1.ServiceUnavailableException('the database does not answer');
        });
    }
};
exports.Ledger = Ledger;
exports.Ledger = Ledger = __decorate([
    (0, common_1.Injectable)(),
    __param(1, (0, typeorm_1.InjectRepository)(entry_entity_1.Entry)),
    __param(2, (0, common_1.Inject)('BROKER')),
    __metadata("design:paramtypes", [typeorm_2.DataSource,
        typeorm_2.Repository,
        microservices_1.ClientKafka])
], Ledger);
