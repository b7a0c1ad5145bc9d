"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.balance = balance;
const types_1 = require("@wanzobe/types");
const decimal_js_1 = __importDefault(require("decimal.js"));
function balance(amounts) {
    const sum = amounts.reduce((total, amount) => total.plus(amount), new decimal_js_1.default(0));
    return { amount: sum.toFixed(2), currency: types_1.Currency.CDF };
}
