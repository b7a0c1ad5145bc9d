import { createLogger, format, transports } from 'winston';

// SITUATION: the file transport makes ./logs in the working directory as it is constructed, and dies of EACCES where
// it may not.
export const log = createLogger({
  format: format.combine(format.timestamp(), format.json()),
  transports: [new transports.Console(), new transports.File({ dirname: 'logs', filename: 'gestion.log' })],
});
