export declare enum Currency {
    CDF = "CDF",
    USD = "USD"
}
export declare enum Topic {
    CustomerChanged = "customer.changed",
    EntryPosted = "accounting.entry.posted"
}
export interface Money {
    amount: string;
    currency: Currency;
}
export interface Customer {
    id: string;
    name: string;
    email: string;
}
export interface Health {
    status: 'ok';
    service: string;
}
