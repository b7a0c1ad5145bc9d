import { Body, Controller, Post, UnauthorizedException } from '@nestjs/common';
import { IsEmail, IsString, MinLength } from 'class-validator';
import { randomBytes } from 'node:crypto';
import * as jwt from 'jsonwebtoken';
import { pick } from 'lodash';
import { v4 as uuid } from 'uuid';
import { Passwords } from './passwords';

class Login {
  @IsEmail()
  email: string;

  @IsString()
  @MinLength(4)
  password: string;
}

@Controller('auth')
export class AuthController {
  private readonly secret = process.env.JWT_SECRET ?? randomBytes(32).toString('hex');

  constructor(private readonly passwords: Passwords) {}

  @Post('login')
  async login(@Body() login: Login): Promise<{ token: string }> {
    if (!(await this.passwords.matches(login.password))) throw new UnauthorizedException();
    return { token: jwt.sign(pick(login, 'email'), this.secret, { jwtid: uuid(), expiresIn: '1h' }) };
  }
}
