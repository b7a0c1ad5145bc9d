import { Customer, Topic } from '@wanzobe/types';
import { Kafka, Producer, logLevel } from 'kafkajs';
import { v4 as uuid } from 'uuid';

/** Announces customers to the other services. The broker is first spoken to when there is something to say. */
export class CustomerSync {
  private readonly producer: Producer;
  private connected?: Promise<void>;

  constructor(clientId: string, brokers = process.env.KAFKA_BROKERS ?? 'kafka:9092') {
    const kafka = new Kafka({ clientId, brokers: brokers.split(','), logLevel: logLevel.ERROR, retry: { retries: 1 } });
    this.producer = kafka.producer();
  }

  async announce(customer: Customer): Promise<void> {
    this.connected ??= this.producer.connect();
    try {
      await this.connected;
    } catch (error) {
      this.connected = undefined;
      throw error;
    }
    await this.producer.send({
      topic: Topic.CustomerChanged,
      messages: [{ key: customer.id, value: JSON.stringify(customer), headers: { id: uuid() } }],
    });
  }
}
