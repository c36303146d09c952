// Loads a .bvh with three.js under node and prints where the joints are, in the file's units.
//   node read_bvh.mjs <folder of the package three> <file.bvh> <time in seconds> ...
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, file, ...times] = process.argv.slice(2);
const address = (...parts) => pathToFileURL(join(folder, ...parts)).href;
const three = await import(address("build", "three.module.js"));
const { BVHLoader } = await import(address("examples", "jsm", "loaders", "BVHLoader.js"));

const { skeleton, clip } = new BVHLoader().parse(readFileSync(file, "utf8"));
const root = skeleton.bones[0];
const mixer = new three.AnimationMixer(root);
const action = mixer.clipAction(clip).setLoop(three.LoopOnce);  // or the end would be the start again
action.clampWhenFinished = true;
action.play();
const frames = times.map((time) => {
  mixer.setTime(Number(time));
  root.updateMatrixWorld(true);
  const places = skeleton.bones.map((bone) => [bone.name, new three.Vector3().setFromMatrixPosition(bone.matrixWorld).toArray()]);
  return Object.fromEntries(places.filter(([name]) => name !== "ENDSITE"));
});
console.log(JSON.stringify({ version: three.REVISION, duration_s: clip.duration, frames }));
