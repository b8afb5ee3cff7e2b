"use strict";
// From a picture's file to the frame that the network sees, as noonchi.pixels makes it: Pillow's filter, to the bit.

const mostPixels = 64_000_000;
const unit = 2 ** 22; // Pillow's weights have 22 binary places for levels of 8 bits
const reducedSides = 4; // as noonchi.pixels.decoding has it

/** A blob of an encoded picture as levels (height, width, channels). Rejects with an Error of one line. */
async function frame(blob, pixels) {
  const image = await decoded(blob);
  const factor = (await isJpeg(blob)) ? reduction(image, reducedSides * Math.max(...pixels.size)) : 1;
  return fitted(planes(factor > 1 ? reduced(image, factor) : image, pixels.channels), pixels);
}

async function isJpeg(blob) {
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  return first === 0xff && second === 0xd8;
}

/** By how much Pillow makes a JPEG smaller while it decodes it, so that no side falls below `least`. */
function reduction({ width, height }, least) {
  return [8, 4, 2].find((factor) => Math.min(width, height) >= factor * least) ?? 1;
}

/** Means of blocks, which are within a level of what a JPEG decoder makes; `box` is how many of them the picture fills. */
function reduced({ data, width, height }, factor) {
  const [wide, high] = [Math.ceil(width / factor), Math.ceil(height / factor)];
  const sums = new Uint32Array(4 * wide * high); // the fourth of each counts pixels
  for (let row = 0, at = 0; row < height; row += 1) {
    const start = 4 * wide * Math.floor(row / factor);
    for (let column = 0; column < width; column += 1, at += 4) {
      const block = start + 4 * Math.floor(column / factor);
      sums[block] += data[at];
      sums[block + 1] += data[at + 1];
      sums[block + 2] += data[at + 2];
      sums[block + 3] += 1;
    }
  }
  const means = sums.map((sum, place) => Math.round(sum / sums[place | 3]));
  return { data: means, width: wide, height: high, box: { width: width / factor, height: height / factor } };
}

/** Upright RGBA in the picture's own size, laid on white. */
async function decoded(blob) {
  const bitmap = await createImageBitmap(blob, {
    colorSpaceConversion: "none",
    imageOrientation: "from-image",
    premultiplyAlpha: "none",
  }).catch(() => {
    throw new Error("not a whole picture that this browser reads; use JPEG, PNG, WebP, GIF or BMP.");
  });
  const { width, height } = bitmap;
  if (width * height > mostPixels) {
    bitmap.close();
    throw new Error(`${width} by ${height} pixels, more than the 64 megapixels that are read; make it smaller.`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/** Grey by ITU-R 601-2 in 16 binary places, or red, green and blue: one plane each. */
function planes({ data, width, height, box = { width, height } }, channels) {
  const levels = Array.from({ length: channels }, () => new Uint8Array(width * height));
  const grey = channels === 1;
  for (let place = 0, at = 0; at < data.length; place += 1, at += 4) {
    const [red, green, blue] = [data[at], data[at + 1], data[at + 2]];
    if (grey) {
      levels[0][place] = (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16;
    } else {
      levels[0][place] = red;
      levels[1][place] = green;
      levels[2][place] = blue;
    }
  }
  return { levels, width, height, box };
}

/** Squashed, cut to the middle or with black borders: (height, width, channels). */
function fitted(picture, { size: [height, width], channels, fit }) {
  const target = fit === "pad" ? inner(picture.box, height, width) : { height, width, top: 0, left: 0 };
  const cut = fit === "crop" ? beyond(picture.box, height, width) : { above: 0, beside: 0 };
  const frame = new Uint8Array(height * width * channels);
  picture.levels.forEach((plane, channel) => {
    const resized = brought(plane, picture, target, cut);
    for (let row = 0; row < target.height; row += 1) {
      for (let column = 0; column < target.width; column += 1) {
        const place = (row + target.top) * width + column + target.left;
        frame[place * channels + channel] = resized[row * target.width + column];
      }
    }
  });
  return frame;
}

/** The largest box of the picture's shape in the middle of the frame. */
function inner(box, height, width) {
  const scale = Math.min(width / box.width, height / box.height);
  const wide = Math.max(1, even(box.width * scale));
  const high = Math.max(1, even(box.height * scale));
  return { height: high, width: wide, top: (height - high) >> 1, left: (width - wide) >> 1 };
}

/** What lies beyond the largest part of the frame's shape around the picture's middle, half of it a side. */
function beyond(box, height, width) {
  const aspect = width / height;
  return {
    beside: Math.max(0, (box.width - box.height * aspect) / 2),
    above: Math.max(0, (box.height - box.width / aspect) / 2),
  };
}

/** Rounded as Python rounds: halves to the even number. */
function even(value) {
  const down = Math.floor(value);
  const rest = value - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}

/** One plane in the target's size; Pillow begins with the height where that leaves it less to do. */
function brought(plane, { width, height, box }, target, { above, beside }) {
  const across = filter(width, beside, box.width - beside, target.width);
  const down = filter(height, above, box.height - above, target.height);
  if (height - target.height > Math.max(0, 2 * (width - target.width))) {
    return byWidth(byHeight(plane, width, down), width, across);
  }
  return byHeight(byWidth(plane, width, across), target.width, down);
}

/**
 * A side of `before` pixels, from `from` to `to` of which `after` are made: for each of these the first that it is
 * made of, and the weights of that and those that follow, in units of 2^-22.
 */
function filter(before, from, to, after) {
  const begin = Math.fround(from); // Pillow holds the ends in float32
  const scale = Math.fround(Math.fround(to) - begin) / after;
  const reach = Math.max(scale, 1);
  return Array.from({ length: after }, (_, number) => {
    const centre = begin + (number + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(before, Math.trunc(centre + reach + 0.5));
    const weights = new Float64Array(last - first);
    let sum = 0;
    for (let place = 0; place < weights.length; place += 1) {
      weights[place] = Math.max(0, 1 - Math.abs((place + first - centre + 0.5) * (1 / reach)));
      sum += weights[place];
    }
    return { first, weights: Int32Array.from(weights, (weight) => Math.floor((weight / sum) * unit + 0.5)) };
  });
}

function byWidth(plane, width, filters) {
  const height = plane.length / width;
  const out = new Uint8Array(height * filters.length);
  filters.forEach(({ first, weights }, column) => {
    for (let row = 0; row < height; row += 1) {
      const start = row * width + first;
      let sum = unit / 2;
      for (let place = 0; place < weights.length; place += 1) {
        sum += plane[start + place] * weights[place];
      }
      out[row * filters.length + column] = sum / unit;
    }
  });
  return out;
}

function byHeight(plane, width, filters) {
  const out = new Uint8Array(width * filters.length);
  const sums = new Int32Array(width);
  filters.forEach(({ first, weights }, row) => {
    sums.fill(unit / 2);
    weights.forEach((weight, place) => {
      const start = (first + place) * width;
      for (let column = 0; column < width; column += 1) {
        sums[column] += plane[start + column] * weight;
      }
    });
    for (let column = 0; column < width; column += 1) {
      out[row * width + column] = sums[column] >> 22;
    }
  });
  return out;
}

/** A frame with light and dark exchanged, or as it is; "auto": where that brings its border nearer to `trained`. */
function inverted(frame, mode, { size: [height, width], channels }, trained) {
  const own = borderLevel(frame, height, width, channels);
  const nearer = Math.abs(255 - own - trained) < Math.abs(own - trained);
  return mode === "yes" || (mode === "auto" && nearer) ? frame.map((level) => 255 - level) : frame;
}

/** Mean level of the outermost pixels. */
function borderLevel(frame, height, width, channels) {
  let [sum, count] = [0, 0];
  for (let place = 0; place < height * width; place += 1) {
    const [row, column] = [Math.floor(place / width), place % width];
    if (row === 0 || row === height - 1 || column === 0 || column === width - 1) {
      for (let channel = 0; channel < channels; channel += 1) {
        sum += frame[place * channels + channel];
        count += 1;
      }
    }
  }
  return sum / count;
}
