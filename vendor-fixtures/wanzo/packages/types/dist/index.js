"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.Topic = exports.Currency = void 0;
var Currency;
(function (Currency) {
    Currency["CDF"] = "CDF";
    Currency["USD"] = "USD";
})(Currency || (exports.Currency = Currency = {}));
var Topic;
(function (Topic) {
    Topic["CustomerChanged"] = "customer.changed";
    Topic["EntryPosted"] = "accounting.entry.posted";
})(Topic || (exports.Topic = Topic = {}));
