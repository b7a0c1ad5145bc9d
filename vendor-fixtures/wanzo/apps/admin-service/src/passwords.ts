import { Injectable, OnModuleInit } from '@nestjs/common';
// SITUATION: a native addon. The package carries prebuilt binaries for glibc and musl; node-gyp-build picks one.
import * as bcrypt from 'bcrypt';

@Injectable()
export class Passwords implements OnModuleInit {
  private stored: string;

  // The addon works at start, not only on the first request: without a fitting binary the service does not come up.
  async onModuleInit(): Promise<void> {
    this.stored = await bcrypt.hash(process.env.ADMIN_PASSWORD ?? 'wanzo', 4);
  }

  matches(password: string): Promise<boolean> {
    return bcrypt.compare(password, this.stored);
  }
}
