import { Injectable } from '@nestjs/common';
import { Cron, CronExpression } from '@nestjs/schedule';
import { countBy, takeRight } from 'lodash';
import { v4 as uuid } from 'uuid';

interface Event {
  id: string;
  kind: string;
}

@Injectable()
export class Events {
  private events: Event[] = [];

  record(kind: string): Event {
    const event = { id: uuid(), kind };
    this.events.push(event);
    return event;
  }

  summary(): Record<string, number> {
    return countBy(this.events, 'kind');
  }

  @Cron(CronExpression.EVERY_HOUR)
  forget(): void {
    this.events = takeRight(this.events, 1000);
  }
}
