"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
// SITUATION: a test that is compiled into dist with everything else. It imports @nestjs/testing, a dev dependency that
// no image holds; nothing that runs imports this file.
require("reflect-metadata");
const testing_1 = require("@nestjs/testing");
const node_assert_1 = __importDefault(require("node:assert"));
const node_test_1 = require("node:test");
const balance_1 = require("./balance");
(0, node_test_1.test)('a balance is exact to the cent', async () => {
    const module = await testing_1.Test.createTestingModule({ providers: [{ provide: 'balance', useValue: balance_1.balance }] }).compile();
    node_assert_1.default.strictEqual(module.get('balance')(['0.10', '0.20']).amount, '0.30');
});
