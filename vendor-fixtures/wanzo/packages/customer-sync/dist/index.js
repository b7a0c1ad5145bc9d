"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.CustomerSync = void 0;
const types_1 = require("@wanzobe/types");
const kafkajs_1 = require("kafkajs");
const uuid_1 = require("uuid");
/** Announces customers to the other services. The broker is first spoken to when there is something to say. */
class CustomerSync {
    constructor(clientId, brokers = process.env.KAFKA_BROKERS ?? 'kafka:9092') {
        const kafka = new kafkajs_1.Kafka({ clientId, brokers: brokers.split(','), logLevel: kafkajs_1.logLevel.ERROR, retry: { retries: 1 } });
        this.producer = kafka.producer();
    }
    async announce(customer) {
        this.connected ??= this.producer.connect();
        try {
            await this.connected;
        }
        catch (error) {
            this.connected = undefined;
            throw error;
        }
        await this.producer.send({
            topic: types_1.Topic.CustomerChanged,
            messages: [{ key: customer.id, value: JSON.stringify(customer), headers: { id: (0, uuid_1.v4)() } }],
        });
    }
}
exports.CustomerSync = CustomerSync;
