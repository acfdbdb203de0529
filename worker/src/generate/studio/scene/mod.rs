//! A rendered surrounding for a product: a horizontal surface in the perspective of the
//! photo's camera, what stands behind it, light that falls from one side, the product's
//! shadow, depth of field.
//!
//! Everything is in pixels of the frame at the product's distance. The camera is a long
//! lens some frame widths away, as product photographers use it.

use image::RgbImage;
use packshot_imaging::colour::srgb_to_linear;
use packshot_imaging::composite::shadow::{GroundShadow, Light};
use packshot_imaging::composite::{Grain, mix, render};

pub(super) mod light;
mod material;
mod noise;

use self::light::Window;
use self::material::{Finish, Tile, finish, smooth, tile};
use super::style::{Backdrop, Material};

/// Distance of the camera in longer sides of the frame: about 120 mm on full frame.
const CAMERA_DISTANCE: f32 = 3.6;

/// Light on a surface that faces the key light, relative to its colour as written in the
/// style: pale surfaces of a daylight picture come close to white.
const EXPOSURE: f32 = 1.13;

/// What to render.
pub(super) struct Scene<'a> {
    /// Size of the frame.
    pub size: (u32, u32),
    /// Where the centre of the product's base is in the frame, in pixels.
    pub base: (f32, f32),
    /// Camera above the horizon in radians; `None`: the surface faces the camera.
    pub elevation: Option<f32>,
    /// Millimetres per pixel at the product.
    pub mm_per_px: f32,
    /// Surfaces and their colours.
    pub backdrop: &'a Backdrop,
    /// Key light and its share.
    pub light: Light,
    /// Strength of the window's pattern, 0 to 1.
    pub window: f32,
    /// Shadow on the surface, and the frame's column of its mask's left edge and row of
    /// its mask's top.
    pub shadow: &'a GroundShadow,
    /// See `shadow`.
    pub mask_corner: (f32, f32),
    /// Linear colour that the product throws back on the surface, 0 to 1.
    pub bounce: [f32; 3],
    /// Where the product is: (left, right, height) around the base, in pixels, kept out
    /// of the window's edges.
    pub product: (f32, f32, f32),
    /// Seed of everything random.
    pub seed: u64,
    /// Standard deviation of the grain, in 8-bit steps.
    pub grain: f32,
}

/// A surface ready to be sampled.
struct Surface {
    tile: &'static Tile,
    finish: Finish,
    colour: [f32; 3],
    /// Tiles per pixel.
    density: f32,
    offset: (f32, f32),
    /// Direction to the light within the surface, scaled by how flat it comes in.
    toward: (f32, f32),
}

impl Surface {
    fn new(material: Material, colour: [u8; 3], mm_per_px: f32, seed: u64, toward: (f32, f32)) -> Self {
        let finish = finish(material);
        let random = mix(seed ^ 0x5155);
        Self {
            tile: tile(material),
            finish,
            colour: colour.map(srgb_to_linear),
            density: (mm_per_px / finish.tile_mm).clamp(1e-6, 0.05),
            offset: ((random & 0xFFFF) as f32 / 65_536.0, (random >> 16 & 0xFFFF) as f32 / 65_536.0),
            toward,
        }
    }

    /// Reflectance at (x, y) pixels of the surface, seen over `blur` pixels.
    fn at(&self, x: f32, y: f32, blur: f32) -> [f32; 3] {
        let (u, v) = (x * self.density + self.offset.0, y * self.density + self.offset.1);
        let near = self.tile.at(u, v, blur * self.density);
        let finish = &self.finish;
        let relief = (near.slope_x * self.toward.0 + near.slope_y * self.toward.1) * finish.relief;
        let gain = (1.0 + near.tone * finish.tone + relief).max(0.05);
        let warmth = near.warmth * finish.warmth;
        [
            self.colour[0] * gain * (1.0 + warmth),
            self.colour[1] * gain,
            self.colour[2] * gain * (1.0 - warmth),
        ]
    }

    /// Slow unevenness of the surface at (x, y): a factor around 1.
    fn slow(&self, x: f32, y: f32) -> f32 {
        if self.finish.slow <= 0.0 {
            return 1.0;
        }
        let (u, v) = (x * self.density + self.offset.0, y * self.density + self.offset.1);
        let far = self.tile.at(u * 0.143 + 0.37, v * 0.143 + 0.11, 0.006);
        1.0 + far.tone * self.finish.tone * self.finish.slow
    }
}

/// The camera's view of the ground and of what is behind it.
struct Camera {
    sin: f32,
    cos: f32,
    distance: f32,
    base: (f32, f32),
    /// Depth of the wall behind the product, and the row of its foot.
    wall_depth: f32,
    wall_row: f32,
}

impl Camera {
    fn new(scene: &Scene<'_>) -> Self {
        let (w, h) = (scene.size.0 as f32, scene.size.1 as f32);
        let distance = CAMERA_DISTANCE * w.max(h);
        let Some(elevation) = scene.elevation else {
            let base = scene.base;
            return Self { sin: 1.0, cos: 0.0, distance, base, wall_depth: 0.0, wall_row: f32::NEG_INFINITY };
        };
        let (sin, cos) = elevation.sin_cos();
        // The foot of the wall rises in the frame as the camera does, until it leaves it.
        let side = w.min(h);
        let rise = side * 0.15 + side * 0.024 * (elevation.to_degrees() - 8.0).max(0.0);
        let room = distance * sin - rise * cos;
        let wall_depth = if room > 0.05 * distance * sin { rise * distance / room } else { 40.0 * side };
        let wall_depth = wall_depth.min(9.0 * side);
        let wall_row = scene.base.1 - wall_depth * distance * sin / (distance + wall_depth * cos);
        Self { sin, cos, distance, base: scene.base, wall_depth, wall_row }
    }

    /// Depth of the ground seen in a row, towards the camera from the product's base.
    fn ground_depth(&self, y: f32) -> f32 {
        let v = y - self.base.1;
        v * self.distance / (self.distance * self.sin + v * self.cos).max(1e-3 * self.distance)
    }

    /// Pixels of the scene per pixel of the frame at a depth.
    fn spread(&self, depth: f32) -> f32 {
        ((self.distance - depth * self.cos) / self.distance).max(0.05)
    }
}

/// Renders the scene without the product.
pub(super) fn render_scene(scene: &Scene<'_>) -> RgbImage {
    let (w, h) = (scene.size.0 as f32, scene.size.1 as f32);
    let camera = Camera::new(scene);
    let side = w.min(h);
    let low = 1.0 / scene.light.altitude.clamp(0.2, 1.5).tan();
    let toward = (scene.light.azimuth.cos() * low, -scene.light.azimuth.sin() * low);
    let backdrop = scene.backdrop;
    let floor = Surface::new(backdrop.floor, backdrop.floor_colour.0, scene.mm_per_px, scene.seed, toward);
    let wall_colour = backdrop.wall_colour.unwrap_or(backdrop.floor_colour).0;
    let wall_material = backdrop.wall.unwrap_or(backdrop.floor);
    // A wall is lit from the side and from above.
    let wall_light = (scene.light.azimuth.cos() * 0.8, -0.7);
    let wall = Surface::new(wall_material, wall_colour, scene.mm_per_px, scene.seed ^ 0xA11, wall_light);
    let window = Window::new(scene, side);
    let seamless = backdrop.wall.is_none();
    let painter = Painter { scene, camera, floor, wall, window, side, seamless };
    render(scene.size.0, scene.size.1, Grain { seed: scene.seed, strength: scene.grain }, |y, row| {
        painter.row(y as f32 + 0.5, row);
    })
}

struct Painter<'a> {
    scene: &'a Scene<'a>,
    camera: Camera,
    floor: Surface,
    wall: Surface,
    window: Window,
    side: f32,
    seamless: bool,
}

impl Painter<'_> {
    fn row(&self, y: f32, row: &mut [[f32; 3]]) {
        let camera = &self.camera;
        // How much of the row is wall: a soft edge as far as the lens blurs it, or a cove.
        let edge = if self.seamless { 0.16 * self.side } else { 0.0042 * self.side };
        let share = if camera.wall_row.is_finite() {
            smooth(camera.wall_row + edge, camera.wall_row - edge, y)
        } else {
            0.0
        };
        if share < 1.0 {
            let depth = camera.ground_depth(y.max(camera.wall_row - edge));
            let depth =
                if self.scene.elevation.is_some() { depth.max(-camera.wall_depth * 1.3) } else { depth };
            self.floor_row(y, depth, row);
        }
        if share > 0.0 {
            self.wall_row(y, share, row);
        }
    }

    fn floor_row(&self, y: f32, depth: f32, row: &mut [[f32; 3]]) {
        let (camera, scene) = (&self.camera, self.scene);
        let spread = camera.spread(depth);
        // A pixel covers more of the ground along the depth than across. Sharp across
        // matters more to the eye; the grain hides what that leaves along the depth.
        let step = spread / camera.sin.max(0.08);
        let lens =
            if scene.elevation.is_some() { (depth.abs() - 0.3 * self.side).max(0.0) * 0.0065 } else { 0.0 };
        let footprint = (0.35 * step).max(spread).max(lens);
        let falloff = Falloff::of(scene.light, self.side);
        let across = |x: f32| (x - camera.base.0) * spread;
        let lit = Knots::new(row.len(), |x| {
            let x = across(x);
            falloff.at(x, depth) * self.window.floor(x, depth) * self.floor.slow(x, depth) * EXPOSURE
        });
        let standing = scene.elevation.is_some();
        for (x, pixel) in row.iter_mut().enumerate() {
            let column = x as f32 + 0.5;
            let colour = self.floor.at(across(column), depth, footprint);
            let open = if standing {
                scene.shadow.at(across(column) + camera.base.0 - scene.mask_corner.0, depth)
            } else {
                scene.shadow.at(column - scene.mask_corner.0, y - scene.mask_corner.1)
            };
            let lit = lit.at(x);
            for c in 0..3 {
                let returned = open + (1.0 - open) * 0.16 * scene.bounce[c];
                pixel[c] = colour[c] * lit * returned;
            }
        }
    }

    fn wall_row(&self, y: f32, share: f32, row: &mut [[f32; 3]]) {
        let (camera, scene) = (&self.camera, self.scene);
        let spread = camera.spread(-camera.wall_depth);
        let height = (camera.wall_row - y) * spread / camera.cos.max(0.2);
        let lens = (camera.wall_depth * 0.010).min(0.012 * self.side).max(1.0);
        // Less light reaches the foot of a wall, and a little less its upper part.
        let up = (height / self.side).max(0.0);
        let foot = if self.seamless { 1.0 } else { 1.0 - 0.13 * (-up * 9.0).exp() };
        let rise = 1.0 - 0.10 * up * up;
        let surface = if self.seamless { &self.floor } else { &self.wall };
        let across = |x: f32| (x - camera.base.0) * spread;
        let lit = Knots::new(row.len(), |x| {
            let x = across(x);
            let side = scene.light.azimuth.cos() * x / self.side;
            0.97 * EXPOSURE
                * foot
                * rise
                * (1.0 + 0.16 * side - 0.05 * side * side)
                * self.window.wall(x, height)
                * surface.slow(x, -height)
        });
        for (x, pixel) in row.iter_mut().enumerate() {
            let colour = surface.at(across(x as f32 + 0.5), -height, lens);
            let lit = lit.at(x);
            for c in 0..3 {
                pixel[c] += (colour[c] * lit - pixel[c]) * share;
            }
        }
    }
}

/// A slowly changing value along a row, computed at every eighth pixel.
struct Knots(Vec<f32>);

impl Knots {
    const STEP: usize = 8;

    fn new(length: usize, value: impl Fn(f32) -> f32) -> Self {
        Self((0..length / Self::STEP + 2).map(|knot| value((knot * Self::STEP) as f32)).collect())
    }

    fn at(&self, x: usize) -> f32 {
        let knot = x / Self::STEP;
        let share = (x % Self::STEP) as f32 / Self::STEP as f32;
        self.0[knot] + (self.0[knot + 1] - self.0[knot]) * share
    }
}

/// How light falls off along a surface, away from its source.
struct Falloff {
    x: f32,
    z: f32,
    side: f32,
}

impl Falloff {
    fn of(light: Light, side: f32) -> Self {
        Self { x: light.azimuth.cos(), z: -light.azimuth.sin(), side }
    }

    fn at(&self, across: f32, depth: f32) -> f32 {
        let toward = ((across * self.x + depth * self.z) / self.side).clamp(-3.0, 3.0);
        let far = (across * across + depth * depth) / (self.side * self.side);
        (1.0 + 0.17 * toward) / (1.0 + 0.045 * far.min(9.0))
    }
}
