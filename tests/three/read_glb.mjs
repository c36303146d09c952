// Loads a .glb with three.js under node, without a browser, plays it, and prints where the vertices are.
//   node read_glb.mjs <folder of the package three> <file.glb> <time in seconds> ...
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, file, ...times] = process.argv.slice(2);
const address = (...parts) => pathToFileURL(join(folder, ...parts)).href;
const three = await import(address("build", "three.module.js"));
const { GLTFLoader } = await import(address("examples", "jsm", "loaders", "GLTFLoader.js"));

const content = readFileSync(file);
const bytes = content.buffer.slice(content.byteOffset, content.byteOffset + content.length);
const gltf = await new GLTFLoader().parseAsync(bytes, "");
let mesh;
gltf.scene.traverse((node) => { if (node.isSkinnedMesh) mesh = node; });
const mixer = new three.AnimationMixer(gltf.scene);
const action = mixer.clipAction(gltf.animations[0]).setLoop(three.LoopOnce);  // or the end would be the start again
action.clampWhenFinished = true;
action.play();

const frames = times.map((time) => {
  mixer.setTime(Number(time));
  gltf.scene.updateMatrixWorld(true);
  const point = new three.Vector3();
  return Array.from({ length: mesh.geometry.attributes.position.count }, (_, vertex) => {
    point.fromBufferAttribute(mesh.geometry.attributes.position, vertex);
    return mesh.applyBoneTransform(vertex, point).applyMatrix4(mesh.matrixWorld).toArray();
  });
});
const bones = mesh.skeleton.bones.map((bone) => bone.name);
const material = { metalness: mesh.material.metalness, colour: mesh.material.color.getHexString() };
console.log(JSON.stringify({ version: three.REVISION, bones, material, duration_s: gltf.animations[0].duration, frames }));
