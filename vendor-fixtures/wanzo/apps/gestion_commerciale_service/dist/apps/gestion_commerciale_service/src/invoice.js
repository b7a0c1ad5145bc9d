"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.total = void 0;
// SITUATION: decimal.js is not declared by this service. accounting-service declares it, and yarn puts it at the root.
const decimal_js_1 = __importDefault(require("decimal.js"));
function total(lines, taxRate = '0.16') {
    const net = lines.reduce((sum, line) => sum.plus(new decimal_js_1.default(line.price).times(line.quantity)), new decimal_js_1.default(0));
    return net.times(new decimal_js_1.default(1).plus(taxRate)).toFixed(2);
}
exports.total = total;
