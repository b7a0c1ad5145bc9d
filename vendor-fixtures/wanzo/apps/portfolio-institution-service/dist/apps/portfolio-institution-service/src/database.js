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
exports.Database = void 0;
const common_1 = require("@nestjs/common");
const node_path_1 = require("node:path");
const typeorm_1 = require("typeorm");
let Database = class Database extends typeorm_1.DataSource {
    constructor() {
        super({
            type: 'postgres',
            url: process.env.DATABASE_URL ?? 'postgres://wanzo@postgres:5432/portfolio',
            // SITUATION: no import leads to the entities; they are found by this pattern, in whatever lies beside this file.
            entities: [(0, node_path_1.join)(__dirname, '**', '*.entity.js')],
        });
    }
    // Reads the entity files at start; the database itself is first spoken to on a request.
    async onModuleInit() {
        await this.buildMetadatas();
        if (this.entityMetadatas.length !== 2) {
            throw new Error(`expected 2 entities beside the service, found ${this.entityMetadatas.length}`);
        }
    }
    async connected() {
        if (this.isInitialized)
            return this;
        await this.initialize().catch(() => {
            throw new common_1.ServiceUnavailableException('the database does not answer');
        });
        return this;
    }
};
exports.Database = Database;
exports.Database = Database = __decorate([
    (0, common_1.Injectable)(),
    __metadata("design:paramtypes", [])
], Database);
