"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.upstreams = void 0;
exports.upstreams = {
    admin: process.env.ADMIN_URL ?? 'http://admin-service:3001',
    analytics: process.env.ANALYTICS_URL ?? 'http://analytics-service:3002',
    accounting: process.env.ACCOUNTING_URL ?? 'http://accounting-service:3001',
    portfolio: process.env.PORTFOLIO_URL ?? 'http://portfolio-institution-service:3005',
    commerce: process.env.COMMERCE_URL ?? 'http://gestion_commerciale_service:3006',
    customers: process.env.CUSTOMERS_URL ?? 'http://customer-service:3011',
};
