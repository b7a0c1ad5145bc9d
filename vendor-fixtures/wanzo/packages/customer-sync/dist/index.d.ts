import { Customer } from '@wanzobe/types';
/** Announces customers to the other services. The broker is first spoken to when there is something to say. */
export declare class CustomerSync {
    private readonly producer;
    private connected?;
    constructor(clientId: string, brokers?: string);
    announce(customer: Customer): Promise<void>;
}
