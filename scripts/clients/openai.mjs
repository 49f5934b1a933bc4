// Calls POST /v1/embeddings and GET /v1/models with the official OpenAI client, and
// prints what it got as JSON. Arguments: base URL, API key, an image in base64. The
// client is found in the folder VICREG_NODE_MODULES; scripts/nodeenv.sh fetches it.
import { createRequire } from "node:module";

const { OpenAI } = createRequire(process.env.VICREG_NODE_MODULES + "/")("openai");
const [baseURL, apiKey, image] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const model = "backbone";

const statusOf = async (call) => {
  try {
    await call();
    return 200;
  } catch (error) {
    return error.status;
  }
};

const packed = await client.embeddings.create({ model, input: "data:image/png;base64," + image }); // base64 floats by default
const plain = await client.embeddings.create({ model, input: [image], encoding_format: "float" });
const models = await client.models.list();
console.log(
  JSON.stringify({
    Packed: Array.from(packed.data[0].embedding),
    Plain: plain.data[0].embedding,
    Models: models.data.map((m) => m.id),
    Refused: await statusOf(() => client.embeddings.create({ model, input: "bm8gaW1hZ2U=" })),
    Unauthorized: await statusOf(() => new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list()),
  }),
);
