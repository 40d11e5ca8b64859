/** HTTP: requests to servers. */

export {
  type AnswerBody,
  busy,
  HTTP_OPTIONS,
  type HttpAnswer,
  HttpClient,
  type HttpConnectionOptions,
  type HttpRequest,
  isPassingStatus,
  pauseOf,
  wordsOf,
} from './client.ts';
