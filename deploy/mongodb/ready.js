// The health check of MongoDB, run by mongosh on the node itself. What is missing it makes: the replica set,
// its administrator, and the user of the services. Every step may be repeated, so it does not matter where an
// earlier run was cut short. A changed MONGODB_PASSWORD is taken over; a changed one of the administrator is not.
const admin = db.getSiblingDB("admin");

function logIn(user, password) {
  try {
    return admin.auth(user, password).ok === 1;
  } catch {
    return false;
  }
}

function createUsers() {
  const administrator = process.env.MONGODB_ADMIN_PASSWORD;
  if (!logIn("admin", administrator)) {
    // Allowed from the node itself while there is no user at all, and refused ever after.
    admin.createUser({ user: "admin", pwd: administrator, roles: ["root"] });
    admin.auth("admin", administrator);
  }
  const services = { pwd: process.env.MONGODB_PASSWORD, roles: [{ role: "readWrite", db: "leadline" }] };
  if (admin.getUser("leadline")) {
    admin.updateUser("leadline", services);
  } else {
    admin.createUser({ user: "leadline", ...services });
  }
}

const hello = admin.hello();
if (!hello.setName) {
  // By the name the services call it by, not by that of the container.
  rs.initiate({ _id: "rs0", members: [{ _id: 0, host: "mongodb:27017" }] });
  quit(1);
}
if (!hello.isWritablePrimary) {
  quit(1);
}
if (!logIn("leadline", process.env.MONGODB_PASSWORD)) {
  createUsers();
}
