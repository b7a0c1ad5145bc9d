import { Controller, Get, Param, Post } from '@nestjs/common';
import { Events } from './events';

@Controller('events')
export class EventsController {
  constructor(private readonly events: Events) {}

  @Get()
  summary(): Record<string, number> {
    return this.events.summary();
  }

  @Post(':kind')
  record(@Param('kind') kind: string): { id: string } {
    return this.events.record(kind);
  }
}
